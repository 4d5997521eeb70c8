package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/vaultsecret"
	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// shelf is the vault of a rendering: what a file holds, and for the rest the vault itself with the user's token.
type shelf struct {
	file  map[string]vaultapi.Values // by path
	vault vaultsecret.Reader         // nil: none
	// refused is the first answer of the vault that is neither a secret nor its absence.
	refused error
}

// content renders obj from the shelf with the operator's own code.
func (a *app) content(ctx context.Context, obj *v1alpha1.VaultSecret, from *shelf) (map[string][]byte, error) {
	data, err := vaultsecret.Preview(ctx, obj, from, a.now)
	if err == nil {
		return data, nil
	}
	if from.refused != nil {
		return nil, from.refused
	}
	reason := vaultsecret.Reason(err)
	if reason == v1alpha1.ReasonSecretMissing && from.vault == nil {
		err = fmt.Errorf("%w: neither does --values; add it there, or name a vault with SCAIVAULT_URL and SCAIVAULT_TOKEN", err)
	}
	return nil, console.Coded(codeOf(reason), fmt.Errorf("%s: %w", reason, err))
}

// codeOf is the exit code for a reason of the Ready condition.
func codeOf(reason string) int {
	switch reason {
	case v1alpha1.ReasonSynced, v1alpha1.ReasonApplied, v1alpha1.ReasonScheduled, v1alpha1.ReasonIssuing:
		return console.OK
	case v1alpha1.ReasonAccessDenied:
		return console.Authorization
	case v1alpha1.ReasonSecretMissing, v1alpha1.ReasonServiceAccountMissing, v1alpha1.ReasonRoleMissing:
		return console.NotFound
	case v1alpha1.ReasonInvalidData, v1alpha1.ReasonInvalidTemplate, v1alpha1.ReasonInvalidSpec, v1alpha1.ReasonInvalidTarget,
		v1alpha1.ReasonInvalidPolicy, v1alpha1.ReasonFieldMissing, v1alpha1.ReasonTooManySecrets:
		return console.Validation
	}
	return console.General
}

// Read reads one secret.
func (s *shelf) Read(ctx context.Context, path string, o client.ReadOptions) (*vaultapi.Secret, error) {
	if v, ok := s.file[path]; ok {
		return &vaultapi.Secret{SecretInfo: vaultapi.SecretInfo{Path: path}, Data: v}, nil
	}
	if s.vault == nil {
		return nil, &vaultapi.Error{Status: http.StatusNotFound, Code: "secret_not_found"}
	}
	got, err := s.vault.Read(ctx, path, o)
	if err != nil && !vaultapi.IsNotFound(err) {
		s.refuse(fmt.Errorf("read %s: %w", path, err))
	}
	return got, err
}

// BatchRead reads several secrets: those of the file from there, the others in one call.
func (s *shelf) BatchRead(ctx context.Context, b vaultapi.BatchRequest) (*vaultapi.BatchResponse, error) {
	all := &vaultapi.BatchResponse{Secrets: map[string]vaultapi.BatchSecret{}, Errors: map[string]vaultapi.BatchError{}}
	var rest []string
	for _, path := range b.Paths {
		if v, ok := s.file[path]; ok {
			all.Secrets[path] = vaultapi.BatchSecret{Data: v}
		} else {
			rest = append(rest, path)
		}
	}
	if s.vault == nil || len(rest) == 0 {
		for _, path := range rest {
			all.Errors[path] = vaultapi.BatchError{Code: "secret_not_found"}
		}
		return all, nil
	}
	got, err := s.vault.BatchRead(ctx, vaultapi.BatchRequest{Paths: rest})
	if err != nil {
		s.refuse(fmt.Errorf("read %d secrets: %w", len(rest), err))
		return nil, err
	}
	for path, v := range got.Secrets {
		all.Secrets[path] = v
	}
	for path, e := range got.Errors {
		all.Errors[path] = e
		s.refuseOne(path, e)
	}
	return all, nil
}

// Below lists paths below a prefix: those of the file, and those that the vault shows.
func (s *shelf) Below(ctx context.Context, prefix string, limit int) ([]string, error) {
	var paths []string
	for path := range s.file {
		if strings.HasPrefix(path, prefix) {
			paths = append(paths, path)
		}
	}
	if s.vault != nil {
		more, err := s.vault.Below(ctx, prefix, limit)
		if err != nil {
			s.refuse(fmt.Errorf("list %s: %w", prefix, err))
			return nil, err
		}
		paths = append(paths, more...)
	}
	return unique(paths), nil
}

// MayList asks whether an empty list means that there is nothing.
func (s *shelf) MayList(ctx context.Context, prefix string) error {
	if s.vault == nil {
		return nil
	}
	err := s.vault.MayList(ctx, prefix)
	if err != nil {
		s.refuse(fmt.Errorf("list %s: %w", prefix, err))
	}
	return err
}

// refuseOne notes what befell one path of a batch; an absent secret is for the rendering to judge.
func (s *shelf) refuseOne(path string, e vaultapi.BatchError) {
	switch e.Code {
	case "secret_not_found", "version_not_found":
	default:
		err := fmt.Errorf("read %s: %s: %s", path, e.Code, e.Message)
		s.refuse(console.Coded(console.Authorization, err))
	}
}

func (s *shelf) refuse(err error) {
	if s.refused == nil {
		s.refused = err
	}
}

// readShelf reads --values: a JSON object of secrets, each under the name of its source or under its path.
func (a *app) readShelf(file string, obj *v1alpha1.VaultSecret) (*shelf, error) {
	s := &shelf{file: map[string]vaultapi.Values{}}
	if file == "" {
		return s, nil
	}
	raw, err := a.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var secrets map[string]json.RawMessage
	if json.Unmarshal(raw, &secrets) != nil { // without the decoder's words, which may quote a value
		return nil, console.BadUsage(`%s is not a JSON object of secrets, such as {"db": {"url": "postgres://…"}}`, file)
	}
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		v, err := vaultapi.NewValues(secrets[name])
		if err != nil {
			return nil, console.BadUsage("%s: %s is not a JSON object of fields", file, name)
		}
		path, used := pathOf(name, &obj.Spec)
		if !used {
			a.Remark("%s: no source of VaultSecret %s reads %s", file, obj.Name, console.Clean(name))
		}
		s.file[path] = v
	}
	return s, nil
}

// pathOf is the path that an entry of a file stands for: that of the source of its name, or itself. It is used if
// a source reads it.
func pathOf(entry string, spec *v1alpha1.VaultSecretSpec) (path string, used bool) {
	for _, src := range spec.Sources {
		if src.Name == entry && src.Path != "" {
			return string(src.Path), true
		}
	}
	return entry, slices.ContainsFunc(spec.Sources, func(src v1alpha1.Source) bool {
		return string(src.Path) == entry || src.PathPrefix != "" && strings.HasPrefix(entry, string(src.PathPrefix))
	})
}
