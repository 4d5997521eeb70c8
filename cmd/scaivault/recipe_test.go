package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestFieldsAreReadFromFlags(t *testing.T) {
	for flag, want := range map[string]string{
		"password=random": `{"name":"password","generator":"random"}`,
		"password=random,length=32,require_digit=true,charset=safe": `{"name":"password","generator":"random","config":{"charset":"safe","length":32,"require_digit":true}}`,
		"k=template,template=a,b={{hex:4}}":                         `{"name":"k","generator":"template","config":{"template":"a,b={{hex:4}}"}}`,
		"port=static,value=5432":                                    `{"name":"port","generator":"static","config":{"value":"5432"}}`,
		"u=static,value=":                                           `{"name":"u","generator":"static","config":{"value":""}}`,
		"k=ssh_keypair,key_type=rsa,comment=a,b":                    `{"name":"k","generator":"ssh_keypair","config":{"comment":"a,b","key_type":"rsa"}}`,
		"k=random,length=null":                                      `{"name":"k","generator":"random","config":{"length":"null"}}`,
	} {
		fields, err := recipe([]string{flag})
		if err != nil {
			t.Errorf("%s: %v", flag, err)
			continue
		}
		if got, _ := json.Marshal(fields[0]); string(got) != want {
			t.Errorf("%s: %s, want %s", flag, got, want)
		}
	}
	for _, flag := range []string{"", "=", "a", "a=", "=random", "a=random,x", "a=random,,length=1", "a=random,=1", "a=random,length=1,length=2"} {
		if _, err := recipe([]string{flag}); err == nil {
			t.Errorf("%q is read", flag)
		}
	}
}

// Whatever is typed becomes fields with JSON settings, or an error that does not repeat a static value.
func FuzzFieldFlag(f *testing.F) {
	f.Add("password=random,length=32,require_digit=true")
	f.Add("k=template,template=a,b={{hex:4}}")
	f.Add("u=static,hunter2hunter2")
	f.Add("a=,=,=")
	f.Fuzz(func(t *testing.T, flag string) {
		fields, err := recipe([]string{flag})
		if err != nil {
			if _, value, found := strings.Cut(flag, "value="); found && len(value) > 15 && strings.Contains(err.Error(), value) {
				t.Fatalf("%q: %v", flag, err)
			}
			return
		}
		if config := fields[0].Config; len(config) > 0 && !json.Valid(config) {
			t.Fatalf("%q: settings %s", flag, config)
		}
	})
}
