package node

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// VerifyCredential reads a credential, a JWT by one of the roots that grants
// rights to the bearer of a certificate (rvi.md 3.6). leaf is the DER of the
// certificate its presenter has proved to own. The error is a short reason:
// malformed, bad_algorithm, bad_signature, missing_field:F, wrong_type:F,
// not_yet_valid, expired or device_cert_mismatch.
func VerifyCredential(jwt string, roots []*x509.Certificate, leaf []byte, now time.Time) (Grant, error) {
	g, err := readCredential(jwt, roots, leaf)
	if err == nil {
		err = g.check(now)
	}
	if err != nil {
		return Grant{}, err
	}
	return g, nil
}

// readCredential is VerifyCredential at any time.
func readCredential(jwt string, roots []*x509.Certificate, leaf []byte) (Grant, error) {
	payload, err := verifySignature(jwt, roots)
	if err != nil {
		return Grant{}, err
	}
	var p struct {
		receive, invoke, cert, validity []byte
	}
	if checkJSON(payload) != nil {
		return Grant{}, errors.New("malformed")
	}
	object := members(payload, func(name string, v []byte) {
		switch name {
		case "right_to_receive", "right_to_register", "register", "sources":
			p.receive = v
		case "right_to_invoke", "destinations", "invoke":
			p.invoke = v
		case "device_cert":
			p.cert = v
		case "validity":
			p.validity = v
		}
	})
	if !object {
		return Grant{}, errors.New("malformed")
	}
	g, err := readGrant(p.receive, p.invoke, p.validity)
	if err != nil {
		return Grant{}, err
	}
	if err := checkBearer(p.cert, leaf); err != nil {
		return Grant{}, err
	}
	return g, nil
}

func verifySignature(jwt string, roots []*x509.Certificate) ([]byte, error) {
	if jwt = strings.TrimSpace(jwt); len(jwt) > maxCredential || strings.Count(jwt, ".") != 2 {
		return nil, errors.New("malformed")
	}
	part := strings.Split(jwt, ".")
	header, err1 := base64.RawURLEncoding.Strict().DecodeString(part[0])
	payload, err2 := base64.RawURLEncoding.Strict().DecodeString(part[1])
	signature, err3 := base64.RawURLEncoding.Strict().DecodeString(part[2])
	if errors.Join(err1, err2, err3) != nil || checkJSON(header) != nil {
		return nil, errors.New("malformed")
	}
	var alg string
	strange := false
	object := members(header, func(name string, v []byte) {
		switch name {
		case "alg":
			alg, _ = text(v)
		case "crit", "b64":
			strange = true
		}
	})
	switch {
	case !object || strange:
		return nil, errors.New("malformed")
	case alg != "RS256":
		return nil, errors.New("bad_algorithm")
	}
	sum := sha256.Sum256([]byte(jwt[:strings.LastIndexByte(jwt, '.')]))
	for _, root := range roots {
		if key, ok := root.PublicKey.(*rsa.PublicKey); ok && rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil {
			return payload, nil
		}
	}
	return nil, errors.New("bad_signature")
}

func readGrant(receive, invoke, validity []byte) (g Grant, err error) {
	if g.Receive, err = readPatterns("right_to_receive", receive); err != nil {
		return Grant{}, err
	}
	if g.Invoke, err = readPatterns("right_to_invoke", invoke); err != nil {
		return Grant{}, err
	}
	if validity == nil {
		return Grant{}, errors.New("missing_field:validity")
	}
	var start, stop int64
	var hasStart, hasStop bool
	members(validity, func(name string, v []byte) {
		switch name {
		case "start":
			start, hasStart = integer(v)
		case "stop":
			stop, hasStop = integer(v)
		}
	})
	if !hasStart || !hasStop {
		return Grant{}, errors.New("wrong_type:validity")
	}
	g.Start, g.Stop = time.Unix(max(start, 0), 0), time.Unix(max(stop, 0), 0) // never the zero times, which are no limits
	return g, nil
}

func readPatterns(field string, v []byte) ([]string, error) {
	if v == nil {
		return nil, errors.New("missing_field:" + field)
	}
	list, ok := texts(v)
	if !ok || len(list) > maxPatterns {
		return nil, errors.New("wrong_type:" + field)
	}
	return list, nil
}

// checkBearer compares the certificate of a credential, base64 of the DER with
// or without PEM lines, with the one the peer has.
func checkBearer(field, leaf []byte) error {
	if field == nil {
		return errors.New("missing_field:device_cert")
	}
	s, ok := text(field)
	if !ok {
		return errors.New("wrong_type:device_cert")
	}
	var plain strings.Builder
	for line := range strings.Lines(s) {
		if !strings.HasPrefix(line, "-----") {
			plain.WriteString(strings.Join(strings.Fields(line), ""))
		}
	}
	der, err := base64.StdEncoding.DecodeString(plain.String())
	if err != nil || len(leaf) == 0 || !bytes.Equal(der, leaf) {
		return errors.New("device_cert_mismatch")
	}
	return nil
}

// SignCredential makes the credential that VerifyCredential accepts: g for the
// bearer of cert (its DER), by the private key of the root certificate. id is
// unique in the system.
func SignCredential(root *rsa.PrivateKey, id string, g Grant, cert []byte) (string, error) {
	payload, err := json.Marshal(map[string]any{
		"iss":              "updraft",
		"id":               id,
		"create_timestamp": g.Start.Unix(),
		"right_to_receive": append([]string{}, g.Receive...), // never null
		"right_to_invoke":  append([]string{}, g.Invoke...),
		"device_cert":      base64.StdEncoding.EncodeToString(cert),
		"validity":         map[string]int64{"start": g.Start.Unix(), "stop": g.Stop.Unix()},
	})
	if err != nil {
		return "", fmt.Errorf("write credential: %w", err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: root}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("sign credential: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign credential: %w", err)
	}
	return signed.CompactSerialize()
}
