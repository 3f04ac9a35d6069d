package attest

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/hubship/hubship/internal/model"
)

// TypeProvenance is the predicate type of an image's provenance: SLSA's
// (https://slsa.dev/spec/v1.0/provenance).
const TypeProvenance = "https://slsa.dev/provenance/v1"

// How hubship builds, and that it did, as SLSA names both.
const (
	buildType = "https://github.com/hubship/hubship/attestation/image/v1"
	builderID = "https://github.com/hubship/hubship"
)

// Approval says what had been agreed on when an image was built.
type Approval string

// The approvals. Only an image that is Approved is deployed.
const (
	Approved Approval = "approved" // its commit was to be deployed: it is on the branch of an environment, or an operator named it
	Proposed Approval = "proposed" // a pull request that was not merged yet
)

// Provenance is what is signed about an image that hubship built.
type Provenance struct {
	Image      model.Built
	Commit     string // of the deployment repository that it was built from
	Context    string // build context, from the root of the repository
	Dockerfile string
	Platform   string
	Bases      []Base // as they were used
	Approval   Approval
	Into       string // the environment, or the branch that the pull request is to be merged into
	Process    string // commit of the process that named the branch
	Pull       int    // number of the pull request; 0 for none
	Head       string // of the pull request
	Untrusted  bool   // built apart, for it came from a fork
	Promoted   string // digest of a Proposed image's envelope that it was copied for; empty for none
	Run        string
	Started    time.Time
	Finished   time.Time
}

// Base is a base image as a build used it.
type Base struct {
	Ref    string // without digest
	Digest string // "sha256:…"
}

// slsaProvenance is SLSA's provenance predicate v1. What it has no field for
// stands under one more, as it asks for: hubship_approval.
type slsaProvenance struct {
	BuildDefinition buildDefinition `json:"buildDefinition"`
	RunDetails      runDetails      `json:"runDetails"`
	Approval        approvalDetails `json:"hubship_approval"`
}

type buildDefinition struct {
	BuildType            string             `json:"buildType"`
	ExternalParameters   externalParameters `json:"externalParameters"`
	InternalParameters   internalParameters `json:"internalParameters"`
	ResolvedDependencies []Subject          `json:"resolvedDependencies"`
}

type externalParameters struct {
	Commit     string `json:"commit"`
	Context    string `json:"context"`
	Dockerfile string `json:"dockerfile"`
	Image      string `json:"image"` // its ID
}

type internalParameters struct {
	Platform  string      `json:"platform"`
	Untrusted bool        `json:"untrusted"`
	Built     model.Built `json:"built"`
}

type runDetails struct {
	Builder  builder     `json:"builder"`
	Metadata runMetadata `json:"metadata"`
}

type builder struct {
	ID string `json:"id"`
}

type runMetadata struct {
	InvocationID string    `json:"invocationId"`
	StartedOn    time.Time `json:"startedOn"`
	FinishedOn   time.Time `json:"finishedOn"`
}

type approvalDetails struct {
	State    Approval `json:"state"`
	Into     string   `json:"into"`
	Process  string   `json:"process,omitempty"`
	Pull     int      `json:"pull,omitempty"`
	Head     string   `json:"head,omitempty"`
	Promoted string   `json:"promoted,omitempty"`
}

func (p Provenance) payload() ([]byte, error) {
	s := slsaProvenance{
		BuildDefinition: buildDefinition{
			BuildType:            buildType,
			ExternalParameters:   externalParameters{p.Commit, p.Context, p.Dockerfile, p.Image.ID},
			InternalParameters:   internalParameters{p.Platform, p.Untrusted, p.Image},
			ResolvedDependencies: []Subject{{Name: "source", Digest: map[string]string{"gitCommit": p.Commit}}},
		},
		RunDetails: runDetails{builder{builderID}, runMetadata{p.Run, p.Started, p.Finished}},
		Approval:   approvalDetails{p.Approval, p.Into, p.Process, p.Pull, p.Head, p.Promoted},
	}
	for _, b := range p.Bases {
		algorithm, hex, _ := strings.Cut(b.Digest, ":")
		s.BuildDefinition.ResolvedDependencies = append(s.BuildDefinition.ResolvedDependencies,
			Subject{URI: "docker://" + b.Ref, Digest: map[string]string{algorithm: hex}})
	}
	return encode(TypeProvenance, []Subject{imageSubject(p.Image)}, s)
}

// Seal signs the provenance with the newest key.
func (p Provenance) Seal(keys Keys) ([]byte, error) {
	p.Started, p.Finished = p.Started.UTC(), p.Finished.UTC()
	p.Image.Rebuilt = false
	payload, err := p.payload()
	if err != nil {
		return nil, fmt.Errorf("provenance of image %s: %w", p.Image.ID, err)
	}
	return seal(keys, payload)
}

// OpenProvenance checks that an envelope is the provenance of exactly this
// image, by its repository, key and digest, that one of the keys signed.
// Whether the image may be deployed is Deployable's matter.
func OpenProvenance(envelope []byte, keys []Public, image model.Built) (Provenance, error) {
	payload, _, err := open(envelope, keys)
	if err != nil {
		return Provenance{}, err
	}
	s, err := decode[slsaProvenance](payload, TypeProvenance)
	if err != nil {
		return Provenance{}, err
	}
	def, run, ap := s.Predicate.BuildDefinition, s.Predicate.RunDetails, s.Predicate.Approval
	p := Provenance{
		Image: def.InternalParameters.Built, Commit: def.ExternalParameters.Commit, Context: def.ExternalParameters.Context,
		Dockerfile: def.ExternalParameters.Dockerfile, Platform: def.InternalParameters.Platform, Untrusted: def.InternalParameters.Untrusted,
		Approval: ap.State, Into: ap.Into, Process: ap.Process, Pull: ap.Pull, Head: ap.Head, Promoted: ap.Promoted,
		Run: run.Metadata.InvocationID, Started: run.Metadata.StartedOn, Finished: run.Metadata.FinishedOn,
	}
	for _, d := range def.ResolvedDependencies[min(1, len(def.ResolvedDependencies)):] {
		for algorithm, hex := range d.Digest {
			p.Bases = append(p.Bases, Base{strings.TrimPrefix(d.URI, "docker://"), algorithm + ":" + hex})
		}
	}
	again, err := p.payload()
	if err != nil || !bytes.Equal(again, payload) {
		return Provenance{}, refuse(WrongSubject, "its subject is not the image of its record")
	}
	is := p.Image
	switch {
	case is.Digest == "" || is.Digest != image.Digest:
		return Provenance{}, refuse(WrongSubject, "it is about an image of digest %.80s", is.Digest)
	case is.Name != image.Name:
		return Provenance{}, refuse(WrongSubject, "it is about an image in %.120s", is.Name)
	case is.Key != image.Key || is.Source != image.Source:
		return Provenance{}, refuse(WrongInputs, "it is about an image of other sources")
	}
	return p, nil
}

// Deployable says why the image may not be deployed; nil when it may.
func (p Provenance) Deployable() error {
	if p.Approval != Approved {
		return refuse(Unapproved, "it was built for a change that was not merged (pull request #%d at %.12s)", p.Pull, p.Head)
	}
	return nil
}
