// Command genopenapi writes the OpenAPI document of /v1, made from the route table, to standard output:
//
//	go run ./hack/genopenapi >docs/spec/openapi.json
package main

import (
	"fmt"
	"os"

	"github.com/scailabs/scaivault/server/httpapi"
)

func main() {
	doc, err := httpapi.OpenAPI()
	if err == nil {
		_, err = os.Stdout.Write(doc)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "genopenapi:", err)
		os.Exit(1)
	}
}
