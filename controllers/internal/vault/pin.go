package vault

import (
	"context"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

// PinName is the ConfigMap in the operator's namespace that holds the pin.
const PinName = "scaivault-vault-pin"

const (
	keyInstance = "instance_id"
	keyEpoch    = "restore_epoch"
)

// ConfigMapPin keeps the pin in a ConfigMap.
type ConfigMapPin struct {
	Maps      corev1client.ConfigMapsGetter
	Namespace string
}

// Load reads the pin from the API server itself.
func (p ConfigMapPin) Load(ctx context.Context) (*Pin, error) {
	m, err := p.Maps.ConfigMaps(p.Namespace).Get(ctx, PinName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ConfigMap %s/%s: %w", p.Namespace, PinName, err)
	}
	epoch, err := strconv.ParseInt(m.Data[keyEpoch], 10, 64)
	if err != nil || m.Data[keyInstance] == "" {
		return nil, fmt.Errorf("ConfigMap %s/%s does not hold %s and %s; to pin the vault that answers now, run: scaivault-operator accept-vault", p.Namespace, PinName, keyInstance, keyEpoch)
	}
	return &Pin{InstanceID: m.Data[keyInstance], RestoreEpoch: epoch}, nil
}

// Forget removes the pin: the next operator works with whatever vault answers it.
func (p ConfigMapPin) Forget(ctx context.Context) error {
	err := p.Maps.ConfigMaps(p.Namespace).Delete(ctx, PinName, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("remove ConfigMap %s/%s: %w", p.Namespace, PinName, err)
	}
	return nil
}

// Lasting is a pin that is only looked at: whoever goes pins no vault.
type Lasting struct{ PinStore }

// Save does nothing.
func (Lasting) Save(context.Context, Pin) error { return nil }

// Save writes the pin, over an older one if there is one.
func (p ConfigMapPin) Save(ctx context.Context, pin Pin) error {
	maps := p.Maps.ConfigMaps(p.Namespace)
	m := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: PinName, Namespace: p.Namespace},
		Data:       map[string]string{keyInstance: pin.InstanceID, keyEpoch: strconv.FormatInt(pin.RestoreEpoch, 10)},
	}
	_, err := maps.Create(ctx, m, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		_, err = maps.Update(ctx, m, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("pin the vault in ConfigMap %s/%s: %w", p.Namespace, PinName, err)
	}
	return nil
}
