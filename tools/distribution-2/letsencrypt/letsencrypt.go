// Package letsencrypt stands in for a package that is not published any more. The registry of the tests has its own
// certificates, so nothing here is ever called.
package letsencrypt

import (
	"crypto/tls"
	"errors"
)

var errNotThere = errors.New("this build has no Let's Encrypt client")

// Manager has what registry.go mentions.
type Manager struct{}

func (*Manager) CacheFile(string) error { return errNotThere }

func (*Manager) Registered() bool { return false }

func (*Manager) Register(string, func(string) bool) error { return errNotThere }

func (*Manager) SetHosts([]string) {}

func (*Manager) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errNotThere }
