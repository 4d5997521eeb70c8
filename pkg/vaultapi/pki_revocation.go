package vaultapi

// RevocationList answers POST /v1/pki/ca/{id}/crl: the list that was just made.
type RevocationList struct {
	CAID                string `json:"ca_id"`
	CRLPEM              string `json:"crl_pem"`
	CRLNumber           int64  `json:"crl_number"` // grows with every list of the authority
	RevokedCertificates int    `json:"revoked_certificates"`
	ThisUpdate          Time   `json:"this_update"`
	NextUpdate          Time   `json:"next_update"` // a newer list is there before
}
