package pki

// Queries whose plans are looked at.
const (
	CertificateList   = certificateList
	CertificateListOf = certificateListOf
)
