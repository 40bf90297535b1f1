package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/cobra"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/node"
)

func (a *app) tokenCommand() *cobra.Command {
	var name string
	var scopes []string
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make a bearer token and the hash that a server knows it by",
		Long: `Make a random bearer token. Whoever is to have it gets the token; the server's configuration gets its SHA-256
only, so that nobody can read tokens there. The scopes: read (features, training sets, descriptions), write
(events and imports), admin (definitions and operations); none implies another.`,
		Example: `  lockstep token --name trainer --scopes read
  lockstep token --name ci --scopes read,write,admin --json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			for _, s := range scopes {
				if !slices.Contains([]string{"read", "write", "admin"}, s) {
					return feature.Errorf(feature.CodeInvalid, "unknown scope %q: expected read, write or admin", s)
				}
			}
			if name == "" || strings.ContainsAny(name, "=:,+ ") {
				return feature.Errorf(feature.CodeInvalid, "the name %q of the token: expected one without spaces and =:,+", name)
			}
			return a.printToken(name, "lockstep_"+rand.Text(), scopes)
		},
	}
	cmd.Flags().StringVar(&name, "name", "client", "who has it, for the audit trail")
	cmd.Flags().StringSliceVar(&scopes, "scopes", []string{"read"}, "what it allows: read, write, admin")
	return cmd
}

func (a *app) printToken(name, token string, scopes []string) error {
	hash := sha(token)
	if a.cfg.JSON {
		return a.printJSON(map[string]any{"name": name, "token": token, "sha256": hash, "scopes": scopes})
	}
	return a.line(`%s

It is shown once. Clients send it with --token, LOCKSTEP_TOKEN or Authorization: Bearer TOKEN.
The server knows it by its hash, in lockstep.yaml:

tokens:
  - {name: %s, sha256: %s, scopes: [%s]}

or, beside others, in LOCKSTEP_TOKENS=%s=%s:%s`, token, name, hash, strings.Join(scopes, ", "), name, hash, strings.Join(scopes, "+"))
}

func sha(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// parseTokens reads the setting tokens: a text, or a list in the file.
func parseTokens(setting any) ([]node.Token, error) {
	text, isText := setting.(string)
	if !isText && setting != nil {
		var tokens []node.Token
		dec, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{Result: &tokens, ErrorUnused: true})
		if err == nil {
			err = dec.Decode(setting)
		}
		if err != nil {
			return nil, feature.Errorf(feature.CodeInvalid, "tokens: expected a list of {name, sha256, scopes}: %w", err)
		}
		return tokens, nil
	}
	var tokens []node.Token
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		name, rest, named := strings.Cut(part, "=")
		if !named {
			name, rest = "", part
		}
		hash, scopes, ok := strings.Cut(rest, ":")
		if !ok {
			return nil, feature.Errorf(feature.CodeInvalid, "tokens: expected NAME=SHA256:read+write+admin, separated by commas")
		}
		tokens = append(tokens, node.Token{Name: name, SHA256: hash, Scopes: strings.Split(scopes, "+")})
	}
	return tokens, nil
}
