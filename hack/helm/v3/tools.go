//go:build tools

// Package helm3 pins the Helm that the chart is tested with; hack/helm/assets.sh builds it.
package helm3

import _ "helm.sh/helm/v3/cmd/helm"
