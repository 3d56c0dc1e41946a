package httpapi

import "net/http"

// SetTransport replaces a client's network.
func SetTransport(c *Client, rt http.RoundTripper) { c.http.Transport = rt }
