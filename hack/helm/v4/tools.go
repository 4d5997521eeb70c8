//go:build tools

// Package helm4 pins the Helm that the chart is tested with; hack/helm/assets.sh builds it.
package helm4

import _ "helm.sh/helm/v4/cmd/helm"
