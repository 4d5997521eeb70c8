package rotation

import "github.com/scailabs/scaivault/pkg/vaultapi"

// patched is a policy with the fields that a patch gives.
func patched(p policy, w vaultapi.RotationPolicyPatch) policy {
	set(&p.name, w.Name)
	t := &p.settings
	set(&t.Description, w.Description)
	set(&t.Interval, w.Interval)
	set(&t.Cron, w.Cron)
	switch {
	case w.Interval != nil && *w.Interval != "" && w.Cron == nil:
		t.Cron, t.TimeZone, t.Window = "", "", ""
	case w.Cron != nil && *w.Cron != "" && w.Interval == nil:
		t.Interval = ""
	}
	set(&t.TimeZone, w.TimeZone)
	set(&t.Window, w.Window)
	set(&t.Spread, w.Spread)
	set(&t.GracePeriod, w.GracePeriod)
	set(&t.GraceHold, w.GraceHold)
	set(&t.WarnBefore, w.WarnBefore)
	set(&t.AutoGenerate, w.AutoGenerate)
	set(&t.WebhookIDs, w.WebhookIDs)
	patchRecipe(t, w)
	return p
}

// patchRecipe: one of the two ways to generate takes the other away.
func patchRecipe(t *settings, w vaultapi.RotationPolicyPatch) {
	if w.SecretPolicyID != nil {
		t.SecretPolicyID = *w.SecretPolicyID
		if t.SecretPolicyID != "" && w.Generate == nil {
			t.Generate = nil
		}
	}
	if w.Generate != nil {
		t.Generate = w.Generate
		if len(w.Generate.Fields) == 0 {
			t.Generate = nil
		} else if w.SecretPolicyID == nil {
			t.SecretPolicyID = ""
		}
	}
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}
