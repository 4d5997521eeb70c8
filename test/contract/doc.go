// Package contract holds real traffic to the OpenAPI document that the server itself serves: every answer must
// fit, and every route must have been seen to succeed and to refuse.
package contract
