package vault

import "github.com/scailabs/scaivault/pkg/vaultapi"

// webhooks makes two webhooks of a host that does not exist. They are not enabled, so that nothing behind the calls
// moves them, and what they hold are the two tests of the first.
func (w *World) webhooks() {
	w.by.TB.Helper()
	const all = "/v1/webhooks"
	for suffix, id := range map[string]*string{"-hook": &w.Webhook, "-spare": new(string)} {
		var made vaultapi.Webhook
		w.by.Must(Request{Method: "POST", Path: all, Body: w.hook(suffix)}, &made)
		*id = made.ID
	}
	one := all + "/" + w.Webhook
	for range 2 {
		w.by.Must(Request{Method: "POST", Path: one + "/test"}, nil)
	}
	for path, cursor := range map[string]*string{all + "?limit=1": &w.WebhookCursor, one + "/deliveries?limit=1": &w.DeliveryCursor} {
		var list struct{ Cursor *string }
		w.by.Must(Request{Path: path}, &list)
		*cursor = *list.Cursor
	}
}

func (w *World) hook(suffix string) object {
	return object{"name": w.Name + suffix, "url": "https://hooks.invalid/" + w.Name, "secret": w.Value, "events": []string{"certificate.issued"}, "enabled": false}
}

func (w *World) webhookCalls() map[string]Request {
	const all = "/v1/webhooks"
	one := all + "/" + w.Webhook
	return map[string]Request{
		"listWebhooks":   {Path: all + "?limit=1&cursor=" + w.WebhookCursor},
		"createWebhook":  {Path: all, Body: w.hook("-new")},
		"readWebhook":    {Path: one},
		"patchWebhook":   {Path: one, Body: object{"filters": object{"path_prefix": w.Name + "/"}}},
		"deleteWebhook":  {Path: one},
		"testWebhook":    {Path: one + "/test"},
		"listDeliveries": {Path: one + "/deliveries?limit=1&cursor=" + w.DeliveryCursor},
	}
}
