package vaultsecret

import (
	"encoding/json"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
)

func object(at, fields string) value {
	v := value{name: path.Base(at), path: at, version: 1}
	if err := json.Unmarshal([]byte(fields), &v.fields); err != nil {
		panic(err)
	}
	return v
}

func sourcesOf(names ...string) (out []v1alpha1.Source) {
	for _, n := range names {
		out = append(out, v1alpha1.Source{Name: n, Path: v1alpha1.SecretPath("app/" + n)})
	}
	return out
}

func from(key, src, field string) v1alpha1.DataEntry {
	return v1alpha1.DataEntry{Key: key, From: &v1alpha1.FieldRef{Source: src, Field: field}}
}

func renamed(d v1alpha1.DataEntry, source string) v1alpha1.DataEntry {
	ref := *d.From
	ref.Source = source
	d.From = &ref
	return d
}

// How fields of secrets become keys of the Secret.
func TestRender(t *testing.T) {
	db := object("app/db", `{"url":"x","n":12345678901234567890.10,"list":[1, 2],"obj":{"a": "<&>"},"t":true,"z":null,"b64":"aGVs\nbG8","uni":"é"}`)
	bin := object("app/db", `{"num":1234,"safe":"-_8=","empty":""}`)
	eu := object("app/many/eu/db", `{"url":"z","n":2}`)
	eu.name = "eu.db"
	all := map[string][]value{"db": {db}, "bin": {bin}, "two": {object("app/two", `{"a":"1"}`)}, "all": {object("app/many/a", `{"url":"x"}`), object("app/many/b-c", `{"url":"y"}`), eu}}
	many := []v1alpha1.Source{{Name: "all", PathPrefix: "app/many/"}}
	optional := from("o", "db", "none")
	optional.From.Optional = true
	decode := from("d", "db", "b64")
	decode.From.Decode = v1alpha1.DecodeBase64
	badDecode := from("d", "db", "url")
	badDecode.From.Decode = v1alpha1.DecodeBase64
	number := from("d", "db", "num")
	number.From.Decode = v1alpha1.DecodeBase64
	urlSafe, empty := from("e", "db", "safe"), from("f", "db", "empty")
	urlSafe.From.Decode, empty.From.Decode = v1alpha1.DecodeBase64, v1alpha1.DecodeBase64

	cases := []struct {
		name   string
		spec   v1alpha1.VaultSecretSpec
		want   map[string]string
		reason string
		says   string
	}{
		{name: "every field, bytes as written", spec: v1alpha1.VaultSecretSpec{Sources: sourcesOf("db")}, want: map[string]string{
			"url": "x", "n": "12345678901234567890.10", "list": "[1,2]", "obj": `{"a":"<&>"}`, "t": "true", "z": "null", "b64": "aGVs\nbG8", "uni": "é"}},
		{name: "two sources", spec: v1alpha1.VaultSecretSpec{Sources: sourcesOf("db", "two"), DataFrom: []v1alpha1.DataFrom{
			{Source: "db", Include: []string{"u*"}, Exclude: []string{"un?"}}, {Source: "two", KeyFormat: "{name}_{field}"}}},
			want: map[string]string{"url": "x", "two_a": "1"}},
		{name: "named keys", spec: v1alpha1.VaultSecretSpec{Sources: sourcesOf("db"), Data: []v1alpha1.DataEntry{from("U", "db", "url"), optional, decode,
			{Key: "t", Template: "{{ .db.n }}-{{ .db.obj.a }}"}}},
			want: map[string]string{"U": "x", "d": "hello", "t": "12345678901234567890.10-<&>"}},
		{name: "below a prefix", spec: v1alpha1.VaultSecretSpec{Sources: many, DataFrom: []v1alpha1.DataFrom{{Source: "all", KeyFormat: "{name}_{field}", Exclude: []string{"*_n"}}}},
			want: map[string]string{"a_url": "x", "b-c_url": "y", "eu.db_url": "z"}},
		{name: "below a prefix, in templates", spec: v1alpha1.VaultSecretSpec{Sources: many, Data: []v1alpha1.DataEntry{
			{Key: "t", Template: `{{ range $name, $f := .all }}{{ $name }}={{ $f.url }};{{ end }}{{ .all.a.url }}{{ (index .all "eu.db").n }}`}}},
			want: map[string]string{"t": "a=x;b-c=y;eu.db=z;x2"}},
		{name: "below a prefix, one key twice", spec: v1alpha1.VaultSecretSpec{Sources: many}, reason: "InvalidData",
			says: "key url comes from app/many/a of source all and from app/many/b-c of source all; rename one with data or with keyFormat, such as {name}_{field}"},
		{name: "below a prefix, one that is not there", spec: v1alpha1.VaultSecretSpec{Sources: many, Data: []v1alpha1.DataEntry{{Key: "t", Template: "{{ .all.gone.url }}"}}},
			reason: "InvalidTemplate", says: `no field "gone"`},
		{name: "one key from two sources", spec: v1alpha1.VaultSecretSpec{Sources: sourcesOf("two", "two")}, reason: "InvalidData", says: "key a comes from source two and from source two"},
		{name: "data against dataFrom", spec: v1alpha1.VaultSecretSpec{Sources: sourcesOf("two"), Data: []v1alpha1.DataEntry{from("a", "db", "url")}, DataFrom: []v1alpha1.DataFrom{{Source: "two"}}},
			reason: "InvalidData", says: "key a"},
		{name: "missing field", spec: v1alpha1.VaultSecretSpec{Sources: sourcesOf("db"), Data: []v1alpha1.DataEntry{from("k", "db", "none")}}, reason: "FieldMissing", says: "app/db"},
		{name: "not Base64", spec: v1alpha1.VaultSecretSpec{Sources: sourcesOf("db"), Data: []v1alpha1.DataEntry{badDecode}}, reason: "InvalidData", says: "is not Base64"},
		{name: "a number is not Base64", spec: v1alpha1.VaultSecretSpec{Sources: sourcesOf("bin"), Data: []v1alpha1.DataEntry{renamed(number, "bin")}}, reason: "InvalidData", says: "key d: field num of source bin is no string"},
		{name: "URL-safe Base64, and none", spec: v1alpha1.VaultSecretSpec{Sources: sourcesOf("bin"), Data: []v1alpha1.DataEntry{renamed(urlSafe, "bin"), renamed(empty, "bin")}},
			want: map[string]string{"e": "\xfb\xff", "f": ""}},
		{name: "template without field", spec: v1alpha1.VaultSecretSpec{Sources: sourcesOf("db"), Data: []v1alpha1.DataEntry{{Key: "t", Template: "{{ .db.none }}"}}}, reason: "InvalidTemplate", says: "template of key t"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := render(&c.spec, all, time.Now)
			if c.reason != "" {
				if reconcile.ReasonOf(err) != c.reason || !reconcile.IsStalled(err) || !strings.Contains(err.Error(), c.says) {
					t.Fatalf("got %v, want %s that says %q", err, c.reason, c.says)
				}
				if !strings.Contains(err.Error(), "; ") {
					t.Fatalf("%v: no next step", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			text := map[string]string{}
			for k, v := range got {
				text[k] = string(v)
			}
			if diff := cmp.Diff(c.want, text); diff != "" {
				t.Fatalf("(-want +got)\n%s", diff)
			}
		})
	}
}

// Only a source of which every use is an optional field may be missing.
func TestNeeded(t *testing.T) {
	maybe := from("a", "db", "x")
	maybe.From.Optional = true
	cases := []struct {
		name string
		spec v1alpha1.VaultSecretSpec
		want bool
	}{
		{"everything", v1alpha1.VaultSecretSpec{}, true},
		{"field", v1alpha1.VaultSecretSpec{Data: []v1alpha1.DataEntry{from("a", "db", "x")}}, true},
		{"optional field", v1alpha1.VaultSecretSpec{Data: []v1alpha1.DataEntry{maybe}}, false},
		{"optional and not", v1alpha1.VaultSecretSpec{Data: []v1alpha1.DataEntry{maybe, from("b", "db", "y")}}, true},
		{"optional and template", v1alpha1.VaultSecretSpec{Data: []v1alpha1.DataEntry{maybe, {Key: "t", Template: "{{ .db.x }}"}}}, true},
		{"optional and template of another", v1alpha1.VaultSecretSpec{Data: []v1alpha1.DataEntry{maybe, {Key: "t", Template: "{{ .two.x }}"}}}, false},
		{"optional and all fields", v1alpha1.VaultSecretSpec{Data: []v1alpha1.DataEntry{maybe}, DataFrom: []v1alpha1.DataFrom{{Source: "db"}}}, true},
		{"used by nothing", v1alpha1.VaultSecretSpec{Data: []v1alpha1.DataEntry{from("a", "two", "x")}}, true},
	}
	for _, c := range cases {
		if got := needed(&c.spec, "db"); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestGlob(t *testing.T) {
	cases := []struct {
		pattern, s string
		want       bool
	}{
		{"*", "", true}, {"*", "abc", true}, {"a*c", "abbbc", true}, {"a*c", "abbbd", false}, {"a?c", "abc", true}, {"a?c", "ac", false},
		{"", "", true}, {"", "a", false}, {"*a*b*", "xxaxxbxx", true}, {"*a*b*", "xxbxxaxx", false}, {"abc", "abc", true}, {"abc", "abcd", false},
		{strings.Repeat("*a", 100), strings.Repeat("a", 5000) + "b", false},
	}
	for _, c := range cases {
		if got := glob(c.pattern, c.s); got != c.want {
			t.Errorf("glob(%q, %q) = %v", c.pattern, c.s, got)
		}
	}
}

func TestExpiry(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	in := func(d time.Duration) *metav1.Time { return &metav1.Time{Time: now.Add(d)} }
	for name, test := range map[string]struct {
		ends []*metav1.Time
		want time.Time
	}{
		"none":                 {[]*metav1.Time{nil, nil}, time.Time{}},
		"the first of several": {[]*metav1.Time{in(time.Hour), nil, in(time.Minute)}, now.Add(61 * time.Second)},
		"due now":              {[]*metav1.Time{in(-time.Second)}, now.Add(time.Minute)},
		"past and soon":        {[]*metav1.Time{in(-time.Hour), in(time.Second)}, now.Add(2 * time.Second)},
	} {
		var obj v1alpha1.VaultSecret
		for _, at := range test.ends {
			obj.Status.Synced = append(obj.Status.Synced, v1alpha1.SyncedSource{ExpiresAt: at})
		}
		if got := expiry(&obj, now); !got.Equal(test.want) {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestRefresh(t *testing.T) {
	for text, want := range map[v1alpha1.Duration]time.Duration{"": time.Hour, "90d": 90 * 24 * time.Hour, "1s": 10 * time.Second, "nonsense": time.Hour} {
		if got := refresh(&v1alpha1.VaultSecret{Spec: v1alpha1.VaultSecretSpec{RefreshInterval: text}}); got != want {
			t.Errorf("%q: %s", text, got)
		}
	}
}
