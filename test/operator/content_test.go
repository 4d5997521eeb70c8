package operator_test

import (
	"strconv"
	"strings"
	"testing"

	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

func itoa(n int) string { return strconv.Itoa(n) }

func keyOf(o kube.Object) kube.ObjectKey { return kube.ObjectKeyFromObject(o) }

func source(name, path string) v1alpha1.Source {
	return v1alpha1.Source{Name: name, Path: v1alpha1.SecretPath(path)}
}

func field(key, src, name string) v1alpha1.DataEntry {
	return v1alpha1.DataEntry{Key: key, From: &v1alpha1.FieldRef{Source: src, Field: name}}
}

// Several sources, pinned versions, fields, templates, Base64, filters: all in one Secret that follows each source.
func TestContent(t *testing.T) {
	w := running(t)
	db, extra := w.path("db"), w.path("extra")
	w.put(db, map[string]any{"user": "old", "n": 1})
	w.put(db, map[string]any{"user": "ann", "n": int64(9007199254740993), "bin": "AAH/", "list": []any{1, "<&>"}})
	w.put(extra, map[string]any{"stripe_key": "s", "other": "o"})
	w.allowed()
	one := int64(1)
	w.create("all", db, func(s *v1alpha1.VaultSecretSpec) {
		pin := source("pin", db)
		pin.Version = &one
		s.Sources = append(s.Sources, pin, source("extra", extra))
		decoded, optional := field("bin", "db", "bin"), field("none", "db", "none")
		decoded.From.Decode, optional.From.Optional = v1alpha1.DecodeBase64, true
		s.Data = []v1alpha1.DataEntry{
			field("USER", "db", "user"), field("n", "db", "n"), field("list", "db", "list"), field("was", "pin", "user"), decoded, optional,
			{Key: "url", Template: `postgres://{{ .db.user }}@db/{{ .extra.other }}?n={{ .db.n }}`},
		}
		s.DataFrom = []v1alpha1.DataFrom{{Source: "extra", KeyFormat: "{name}_{field}", Include: []string{"*stripe*"}}}
	})
	w.synced("all")
	w.holds("all", "USER=ann bin=\x00\x01\xff extra_stripe_key=s list=[1,\"<&>\"] n=9007199254740993 url=postgres://ann@db/o?n=9007199254740993 was=old")
	v := w.get("all")
	if len(v.Status.Synced) != 3 || v.Status.SyncedCount != 3 || v.Status.Synced[0].Version != 2 || v.Status.Synced[1].Version != 1 || v.Status.Binding.Name != "all" {
		t.Errorf("status %+v", v.Status)
	}
	w.put(extra, map[string]any{"stripe_key": "s2", "other": "o2"})
	w.until("a change of the second source", "s2 o2?n=9007199254740993", func() string {
		s := w.secret("all")
		return string(s.Data["extra_stripe_key"]) + " " + strings.TrimPrefix(string(s.Data["url"]), "postgres://ann@db/")
	})
	w.put(db, map[string]any{"user": "bob", "n": 2, "bin": "AA==", "list": []any{}})
	w.holds("all", "USER=bob bin=\x00 extra_stripe_key=s2 list=[] n=2 url=postgres://bob@db/o2?n=2 was=old")
}

// What cannot be written stops with a reason and a message that help; nothing is applied. A Secret that is there
// stays as it is, whole, and goes on when the mistake is mended. (field.md 12: templates cannot read anything.)
func TestMistake12WhatCannotBeWritten(t *testing.T) {
	w := running(t)
	db, two := w.path("db"), w.path("two")
	w.put(db, map[string]any{"a": "1", "bad key!": "x"})
	w.put(two, map[string]any{"a": "2"})
	large := strings.Repeat("x", 600<<10)
	w.put(w.path("large"), map[string]any{"first": large})
	w.put(w.path("larger"), map[string]any{"second": large})
	w.allowed()
	templated := func(text string) func(*v1alpha1.VaultSecretSpec) {
		return func(s *v1alpha1.VaultSecretSpec) { s.Data = []v1alpha1.DataEntry{{Key: "t", Template: text}} }
	}
	both := func(a, b string) func(*v1alpha1.VaultSecretSpec) {
		return func(s *v1alpha1.VaultSecretSpec) { s.Sources = []v1alpha1.Source{source("a", a), source("b", b)} }
	}
	cases := map[string]struct {
		change func(*v1alpha1.VaultSecretSpec)
		reason string
		says   []string
	}{
		"key":   {func(*v1alpha1.VaultSecretSpec) {}, "InvalidData", []string{"bad key!"}},
		"twice": {both(two, two), "InvalidData", []string{"key a", "source a", "source b"}},
		"size":  {both(w.path("large"), w.path("larger")), "InvalidData", []string{"1228811 bytes", "first (614400 bytes)", "second (614400 bytes)"}},
		"nothing": {func(s *v1alpha1.VaultSecretSpec) {
			s.DataFrom = []v1alpha1.DataFrom{{Source: "db", Include: []string{"z*"}}}
		}, "InvalidData", []string{"no key"}},
		"field":      {func(s *v1alpha1.VaultSecretSpec) { s.Data = []v1alpha1.DataEntry{field("x", "db", "none")} }, "FieldMissing", []string{"none", db}},
		"base64":     {func(s *v1alpha1.VaultSecretSpec) { s.Data = []v1alpha1.DataEntry{notBase64()} }, "InvalidData", []string{"not Base64"}},
		"parse":      {templated("{{ .db.a "), "InvalidTemplate", []string{"key t"}},
		"function":   {templated(`{{ getSecretKey "ns" "name" "key" }}`), "InvalidTemplate", []string{"getSecretKey"}},
		"file":       {templated(`{{ readFile "/etc/passwd" }}`), "InvalidTemplate", []string{"readFile"}},
		"env":        {templated(`{{ env "HOME" }}`), "InvalidTemplate", []string{"env"}},
		"clock":      {templated(`{{ now }}`), "InvalidTemplate", []string{"now"}},
		"random":     {templated(`{{ randAlphaNum 8 }}`), "InvalidTemplate", []string{"randAlphaNum"}},
		"loop":       {templated(`{{ range 1000000000 }}{{ end }}`), "InvalidTemplate", []string{"key t"}},
		"recursion":  {templated(`{{ define "x" }}{{ template "x" . }}{{ end }}{{ template "x" . }}`), "InvalidTemplate", []string{"key t"}},
		"explosion":  {templated(`{{ range 10000 }}{{ printf "%200000s" "x" }}{{ end }}`), "InvalidTemplate", []string{"key t"}},
		"no.account": {func(s *v1alpha1.VaultSecretSpec) { s.ServiceAccountName = "nobody" }, "ServiceAccountMissing", []string{w.ns + "/nobody", "spec.serviceAccountName"}},
	}
	for name, c := range cases {
		w.create(name, db, c.change)
	}
	for name, c := range cases {
		w.is(name, "False/"+c.reason)
		w.says(name, c.says...)
		if w.secret(name) != nil {
			t.Errorf("%s: a Secret was written", name)
		}
		stalled := condition(w.get(name), v1alpha1.ConditionStalled)
		if waits := c.reason == v1alpha1.ReasonServiceAccountMissing; waits == (stalled.Reason == c.reason) {
			t.Errorf("%s: Stalled %q", name, stalled.Reason)
		}
	}

	w.create("kept", two)
	w.synced("kept")
	before := w.secret("kept")
	w.put(two, map[string]any{"a": "3", "worse key!": "x"})
	w.is("kept", "False/InvalidData")
	if s := w.secret("kept"); s.ResourceVersion != before.ResourceVersion || content(s) != "a=2" {
		t.Errorf("half a change was applied: %q", content(s))
	}
	w.put(two, map[string]any{"a": "4"})
	w.holds("kept", "a=4")
	w.synced("kept")
}

func notBase64() v1alpha1.DataEntry {
	e := field("x", "db", "bad key!")
	e.From.Decode = v1alpha1.DecodeBase64
	return e
}

// suspend stops everything but deletion; requestedAt asks for a look and is echoed.
func TestSuspendAndRequest(t *testing.T) {
	w := running(t)
	w.put(w.path("s"), map[string]any{"k": "1"})
	w.allowed()
	v := w.create("s", w.path("s"))
	w.create("never", w.path("s"), func(s *v1alpha1.VaultSecretSpec) { s.Suspend = true })
	w.synced("s")
	w.annotate(v, v1alpha1.AnnotationRequestedAt, "2026-01-02T03:04:05Z")
	w.until("echo of the request", "2026-01-02T03:04:05Z", func() string { return w.get("s").Status.LastHandledRequest })
	w.still()
	reads := w.reads()
	w.annotate(v, v1alpha1.AnnotationRequestedAt, "again")
	w.until("echo of the request", "again", func() string { return w.get("s").Status.LastHandledRequest })
	w.until("a look at the vault", itoa(reads+1), func() string { return itoa(w.reads()) })

	suspended := w.get("s").Status
	w.change("s", func(s *v1alpha1.VaultSecretSpec) { s.Suspend = true })
	w.put(w.path("s"), map[string]any{"k": "2"})
	w.kubectl("-n", w.ns, "patch", "secret", "s", "--type=merge", "-p", `{"data":{"extra":"eA=="}}`)
	w.annotate(w.get("s"), v1alpha1.AnnotationRequestedAt, "in vain")
	w.create("probe", w.path("s")) // comes later and is done
	w.synced("probe")
	w.still()
	w.holds("s", "extra=x k=1")
	if now := w.get("s").Status; now.LastHandledRequest != suspended.LastHandledRequest {
		t.Errorf("a suspended object answered a request: %+v", now)
	}
	if got := w.get("never"); len(got.Status.Conditions) != 0 || w.secret("never") != nil {
		t.Error("an object that was always suspended was touched")
	}
	w.change("s", func(s *v1alpha1.VaultSecretSpec) { s.Suspend = false })
	w.holds("s", "k=2")
	w.synced("s")
	w.until("echo of the request", "in vain", func() string { return w.get("s").Status.LastHandledRequest })
}
