// Package e2e installs ScaiVault on a cluster with a node that runs pods, as the README says, uses it as its users do,
// and uninstalls it. It runs by `make e2e` alone, with build tag e2e, because it needs root and what
// hack/node/check.sh asks for.
package e2e
