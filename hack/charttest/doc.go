// Package charttest holds the tests of charts/scaivault: rendered by Helm's own engine, it is what
// config/default is. A module of its own, so that the product does not depend on Helm.
package charttest
