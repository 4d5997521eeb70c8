package controllers

import (
	"errors"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/scailabs/scaivault/controllers/rotationschedule"
	"github.com/scailabs/scaivault/controllers/vaultsecret"
)

// rotationConcurrency is how many RotationSchedules run at a time: one may wait long for a vault that takes on its
// secrets one by one.
const rotationConcurrency = 4

func (p *parts) addRotationSchedule(mgr manager.Manager) error {
	r := &rotationschedule.Reconciler{
		Runner: p.runner(mgr, "RotationSchedule"), Accounts: p.accounts, Cached: mgr.GetClient(), Live: mgr.GetAPIReader(),
		Rotation: p.own.Rotation, Secrets: p.own.Secrets, Refused: p.refused, Guard: p.guard, Cluster: p.Cluster, Now: time.Now,
		Readers: &vaultsecret.Readers{Cached: mgr.GetClient(), Vault: p.own.Secrets, Now: time.Now},
	}
	sink := &rotationschedule.Sink{
		Cached: mgr.GetClient(), Live: mgr.GetAPIReader(), Vault: p.own.Rotation, Guard: p.guard, Cluster: p.Cluster,
		Namespaces: p.Namespaces, Inbox: p.inbox.rotations,
	}
	p.sinks, p.rotating = append(p.sinks, sink), append(p.rotating, sink)
	return errors.Join(p.addSweep(mgr, sink.Sweep), r.SetupWithManager(mgr, p.inbox.rotations, p.options(rotationConcurrency)))
}
