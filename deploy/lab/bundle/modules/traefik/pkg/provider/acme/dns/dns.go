// Package dns stands where lego's 160 DNS services were: the lab's ingress asks nobody for certificates.
package dns

import (
	"fmt"

	"github.com/go-acme/lego/v4/challenge"
)

func NewDNSChallengeProviderByName(name string) (challenge.Provider, error) {
	return nil, fmt.Errorf("this build has no DNS challenge provider %q", name)
}
