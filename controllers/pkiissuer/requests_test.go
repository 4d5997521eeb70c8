package pkiissuer

import (
	"errors"
	"strings"
	"testing"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/internal/certs"
)

// namesOf are the names of certificates in PEM.
func namesOf(t *testing.T, text []byte) string {
	t.Helper()
	all, err := certs.ParseCertificates("chain", string(text))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range all {
		name := c.Subject.CommonName
		if len(c.DNSNames) > 0 {
			name = "web"
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// A request names an issuer of ours by group, kind and name; a PKIIssuer only of its own namespace.
func TestIssuerOf(t *testing.T) {
	for name, c := range map[string]struct {
		ref  cmmeta.IssuerReference
		want string
	}{
		"ours":             {cmmeta.IssuerReference{Group: "scaivault.io", Kind: "PKIIssuer", Name: "web"}, "PKIIssuer shop/web"},
		"of the cluster":   {cmmeta.IssuerReference{Group: "scaivault.io", Kind: "ClusterPKIIssuer", Name: "web"}, "ClusterPKIIssuer web"},
		"no kind":          {cmmeta.IssuerReference{Group: "scaivault.io", Name: "web"}, ""},
		"another kind":     {cmmeta.IssuerReference{Group: "scaivault.io", Kind: "Issuer", Name: "web"}, ""},
		"no group":         {cmmeta.IssuerReference{Kind: "PKIIssuer", Name: "web"}, ""},
		"of cert-manager":  {cmmeta.IssuerReference{Group: "cert-manager.io", Kind: "PKIIssuer", Name: "web"}, ""},
		"of a similar one": {cmmeta.IssuerReference{Group: "scaivault.io.evil.org", Kind: "PKIIssuer", Name: "web"}, ""},
	} {
		obj := &cmapi.CertificateRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "shop"}, Spec: cmapi.CertificateRequestSpec{IssuerRef: c.ref}}
		if got, ours := issuerOf(obj); ours != (c.want != "") || ours && got.String() != c.want {
			t.Errorf("%s: %s (%v), want %q", name, got, ours, c.want)
		}
	}
}

// What is finished stays as it is.
func TestFinished(t *testing.T) {
	ready := func(status cmmeta.ConditionStatus, reason string) cmapi.CertificateRequestCondition {
		return cmapi.CertificateRequestCondition{Type: cmapi.CertificateRequestConditionReady, Status: status, Reason: reason}
	}
	for name, c := range map[string]struct {
		status cmapi.CertificateRequestStatus
		want   bool
	}{
		"new":           {cmapi.CertificateRequestStatus{}, false},
		"pending":       {cmapi.CertificateRequestStatus{Conditions: []cmapi.CertificateRequestCondition{ready(cmmeta.ConditionFalse, "Pending")}}, false},
		"issued":        {cmapi.CertificateRequestStatus{Conditions: []cmapi.CertificateRequestCondition{ready(cmmeta.ConditionTrue, "Issued")}}, true},
		"failed":        {cmapi.CertificateRequestStatus{Conditions: []cmapi.CertificateRequestCondition{ready(cmmeta.ConditionFalse, "Failed")}}, true},
		"denied":        {cmapi.CertificateRequestStatus{Conditions: []cmapi.CertificateRequestCondition{ready(cmmeta.ConditionFalse, "Denied")}}, true},
		"a certificate": {cmapi.CertificateRequestStatus{Certificate: []byte("x")}, true},
		"invalid":       {cmapi.CertificateRequestStatus{Conditions: []cmapi.CertificateRequestCondition{{Type: cmapi.CertificateRequestConditionInvalidRequest, Status: cmmeta.ConditionTrue}}}, true},
	} {
		if got := finished(&cmapi.CertificateRequest{Status: c.status}); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// The status says what came of a request in the words that cert-manager knows: Failed is final, with a time.
func TestRecord(t *testing.T) {
	at := metav1.NewTime(now)
	signed := &certificate{chain: []byte("chain"), ca: []byte("ca"), serial: "4D"}
	for name, c := range map[string]struct {
		err    error
		got    *certificate
		want   string
		failed bool
	}{
		"signed":        {nil, signed, "True/Issued: the certificate has serial number 4D", false},
		"no right":      {denied("sa:shop:web", "web", "access_denied"), nil, "False/Pending: AccessDenied: sa:shop:web may not issue", false},
		"vault is away": {errors.New("x"), nil, "False/Pending: Retrying: x", false},
		"refused":       {refuse(ReasonRequestRefused, errors.New("x")), nil, "False/Failed: RequestRefused: x", true},
		"denied":        {refuse(ReasonRequestDenied, errors.New("x")), nil, "False/Denied: RequestDenied: x", true},
		"no issuer":     {reconcile.Waiting(ReasonIssuerMissing, lookAgain, errors.New("x")), nil, "False/Pending: IssuerMissing: x", false},
	} {
		v := verdict{reason: ReasonIssued}
		if c.err != nil {
			v = judge(c.err)
		}
		obj := &cmapi.CertificateRequest{Status: cmapi.CertificateRequestStatus{Conditions: []cmapi.CertificateRequestCondition{
			{Type: cmapi.CertificateRequestConditionApproved, Status: cmmeta.ConditionTrue},
		}}}
		v.record(obj, c.got, at)
		r := conditionOf(obj, cmapi.CertificateRequestConditionReady)
		if got := string(r.Status) + "/" + r.Reason + ": " + r.Message; !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if (obj.Status.FailureTime != nil) != c.failed || !holds(obj, cmapi.CertificateRequestConditionApproved) || (len(obj.Status.Certificate) > 0) != (c.got != nil) {
			t.Errorf("%s: %+v", name, obj.Status)
		}
		if c.got == nil { // and the time moves only with the status
			later := metav1.NewTime(now.Add(lookAgain))
			before := obj.DeepCopy()
			v.record(obj, nil, later)
			v.message += " (request req_2)"
			v.record(obj, nil, later)
			if v.retry != nil && !equality.Semantic.DeepEqual(before, obj) {
				t.Errorf("%s, tried again: %+v", name, obj.Status)
			}
			if r := conditionOf(obj, cmapi.CertificateRequestConditionReady); !r.LastTransitionTime.Equal(&at) || len(obj.Status.Conditions) != 2 {
				t.Errorf("%s, said again: %+v", name, obj.Status.Conditions)
			}
		}
	}
}

// The API server is asked about exactly who made the request, with all that it knows of him, and about this one issuer.
func TestReview(t *testing.T) {
	obj := &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{
		Username: "jane", UID: "1", Groups: []string{"dev"}, Extra: map[string]certificatesv1.ExtraValue{"k": {"v"}},
	}}
	r := reviewOf(obj, reference{namespace: "shop", name: "web"}).Spec
	if r.User != "jane" || r.UID != "1" || len(r.Groups) != 1 || r.Extra["k"][0] != "v" {
		t.Errorf("asks about %+v", r)
	}
	if a := r.ResourceAttributes; a.Verb != "reference" || a.Group != v1alpha1.GroupVersion.Group || a.Resource != "pkiissuers" || a.Namespace != "shop" || a.Name != "web" {
		t.Errorf("asks for %+v", a)
	}
	if a := reviewOf(obj, reference{name: "corp"}).Spec.ResourceAttributes; a.Resource != "clusterpkiissuers" || a.Namespace != "" || a.Name != "corp" {
		t.Errorf("asks for %+v", a)
	}
}
