package authn

import (
	"context"
	"strings"
)

// ServiceAccount is a Kubernetes workload's identity, as its own cluster vouches for it.
type ServiceAccount struct {
	Namespace, Name, UID string
}

// Reviewer asks a cluster whose token it is. A token that the cluster does not vouch for, or not for audience, is
// token_invalid; a cluster that does not answer is service_unavailable. An error makes whatever else is returned void.
type Reviewer interface {
	Review(ctx context.Context, token, audience string) (ServiceAccount, error)
}

// HomeCluster is the name of the cluster that the server runs in.
const HomeCluster = "home"

// Cluster is a Kubernetes cluster whose workloads may exchange their tokens.
type Cluster struct {
	Name     string // a DNS label; part of the identities of its workloads unless it is HomeCluster
	Issuer   string // `iss` of its tokens; "" takes the tokens of every issuer that no other cluster names
	Reviewer Reviewer
}

// clusterOf picks the cluster that issuer belongs to.
func clusterOf(clusters []Cluster, issuer string) (Cluster, bool) {
	var rest *Cluster
	for i, c := range clusters {
		switch c.Issuer {
		case issuer:
			return c, true
		case "":
			rest = &clusters[i]
		}
	}
	if rest == nil {
		return Cluster{}, false
	}
	return *rest, true
}

// parseUsername reads `system:serviceaccount:<namespace>:<name>`, the only user that may exchange.
func parseUsername(username string) (namespace, name string, ok bool) {
	parts := strings.Split(username, ":")
	if len(parts) != 4 || parts[0] != "system" || parts[1] != "serviceaccount" {
		return "", "", false
	}
	return parts[2], parts[3], validLabel(parts[2]) && validSubdomain(parts[3])
}

// validLabel is RFC 1123: what a namespace is called. No wildcard, separator or upper case gets through
// here into an identity.
func validLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return strings.Trim(s, lowerAlphanumeric+"-") == ""
}

const lowerAlphanumeric = "abcdefghijklmnopqrstuvwxyz0123456789"

// validSubdomain is labels joined by dots: what a ServiceAccount may be called.
func validSubdomain(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !validLabel(label) {
			return false
		}
	}
	return true
}

// ValidCluster tells whether a cluster may be called that.
func ValidCluster(name string) bool { return validLabel(name) }
