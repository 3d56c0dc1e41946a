// Package client is the operators' API as Go functions, generated from
// openapi.json; see package operator.
package client
