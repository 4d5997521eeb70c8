package server

import (
	"fmt"
	"slices"
	"strings"

	"github.com/scailabs/scaivault/server/authn"
)

// clusterFlag is one --cluster: a further cluster whose workloads may exchange their tokens. Whose a token is says
// the cluster itself by a TokenReview (kubeconfig), or a key that it publishes (jwks, a file or a URL; ca vouches
// for that URL's server).
type clusterFlag struct{ name, issuer, kubeconfig, jwks, ca string }

// clusters reads the further clusters.
func (c Config) clusters() ([]clusterFlag, error) {
	var out []clusterFlag
	for _, text := range c.Clusters {
		f, err := parseCluster(text)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(out, func(o clusterFlag) bool { return o.name == f.name || o.issuer == f.issuer }) {
			return nil, fmt.Errorf("--cluster %q has the name or the issuer of another one", text)
		}
		out = append(out, f)
	}
	return out, nil
}

func parseCluster(text string) (clusterFlag, error) {
	var f clusterFlag
	fields := map[string]*string{"name": &f.name, "issuer": &f.issuer, "kubeconfig": &f.kubeconfig, "jwks": &f.jwks, "ca": &f.ca}
	wrong := fmt.Errorf("--cluster %q is not name=NAME,issuer=URL,kubeconfig=FILE or name=NAME,issuer=URL,jwks=FILE-OR-URL[,ca=FILE]", text)
	for part := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(part, "=")
		into := fields[strings.TrimSpace(key)]
		if into == nil || *into != "" {
			return f, wrong
		}
		*into = value
	}
	switch {
	case f.name == "" || f.issuer == "" || (f.kubeconfig == "") == (f.jwks == "") || f.ca != "" && f.jwks == "":
		return f, wrong
	case f.name == authn.HomeCluster || !authn.ValidCluster(f.name):
		return f, fmt.Errorf("--cluster %q: the name must be a DNS label other than %s", text, authn.HomeCluster)
	}
	return f, nil
}

// trustedClusters are the clusters whose workloads may exchange their tokens.
func (c Config) trustedClusters() ([]authn.Cluster, error) {
	var out []authn.Cluster
	if c.KubernetesAuth {
		reviewer, err := authn.NewTokenReview(c.Kubeconfig)
		if err != nil {
			return nil, fmt.Errorf("--kubernetes-auth: %w", err)
		}
		out = append(out, authn.Cluster{Name: authn.HomeCluster, Reviewer: reviewer})
	}
	further, err := c.clusters()
	if err != nil {
		return nil, err
	}
	for _, f := range further {
		reviewer, err := f.reviewer(c)
		if err != nil {
			return nil, fmt.Errorf("--cluster %s: %w", f.name, err)
		}
		out = append(out, authn.Cluster{Name: f.name, Issuer: f.issuer, Reviewer: reviewer})
	}
	return out, nil
}

func (f clusterFlag) reviewer(c Config) (authn.Reviewer, error) {
	if f.kubeconfig != "" {
		return authn.NewTokenReview(f.kubeconfig)
	}
	keys, err := authn.NewKeySource(f.jwks, f.ca)
	if err != nil {
		return nil, err
	}
	return authn.NewJWKS(f.issuer, keys, c.clock()), nil
}
