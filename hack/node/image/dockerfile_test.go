package main

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	text, err := os.ReadFile("../../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	got, err := parse(string(text))
	want := stage{copyTo: "/usr/local/bin/", user: "65532:65532", env: []string{"PATH=/usr/local/bin"}, entrypoint: []string{"scaivault-server"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("our Dockerfile: %+v %v", got, err)
	}
	for name, bad := range map[string]string{
		"another base":  strings.Replace(string(text), "FROM scratch", "FROM debian", 1),
		"another stage": string(text) + "FROM debian\n",
		"a command":     string(text) + "RUN true\n",
		"another file":  string(text) + "COPY LICENSE /\n",
		"a volume":      string(text) + "VOLUME /data\n",
		"shell form":    string(text) + "ENTRYPOINT scaivault-server\n",
		"no user":       strings.Replace(string(text), "USER 65532:65532\n", "", 1),
		"nothing":       "",
	} {
		if s, err := parse(bad); err == nil {
			t.Errorf("%s: %+v", name, s)
		}
	}
}
