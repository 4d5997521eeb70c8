package store_test

import (
	"testing"

	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

func TestConformance(t *testing.T) {
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			storetest.Run(t, func(t *testing.T, change ...func(*store.Options)) *store.DB {
				return storetest.Open(t, storetest.Options(t, engine), change...)
			})
		})
	}
}
