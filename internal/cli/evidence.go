package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/hubship/hubship/internal/attest"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/term"
)

func (a *command) evidenceCommand() *cobra.Command {
	var env, hub string
	cmd := &cobra.Command{
		Use:   "evidence [--env ENVIRONMENT] [--hub HUB]",
		Short: "Show what was verified, and which records are not trusted",
		Long: `Evidence lists the signed records of what passed verification, newest first:
those that count, and those that do not, with the reason.`,
		Example: `  hubship evidence --env staging
  hubship evidence -o json | jq '.[] | select(.believed | not) | {name, refused}'
  hubship evidence export --env staging --hub datahub datahub.json
  hubship evidence verify datahub.json --key hubship.pub`,
		Args: subcommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			records, err := a.server().Evidence(cmd.Context(), env, hub)
			if err != nil {
				return err
			}
			if a.term.JSONOutput() {
				return a.term.JSON(records)
			}
			a.printEvidence(records)
			return nil
		},
	}
	a.envFlag(cmd, &env, "only this environment (default: all)")
	a.hubFlag(cmd, &hub, "only this hub (default: all)")
	cmd.AddCommand(a.evidenceExportCommand(), a.evidenceVerifyCommand())
	return cmd
}

func (a *command) printEvidence(records []model.EvidenceRecord) {
	if len(records) == 0 {
		a.term.Printf("nothing has been verified yet\n")
		return
	}
	rows := [][]string{{"RELEASE", "NUMBER", "COMMIT", "RUN", "RECORDED", "KEY", "TRUSTED"}}
	for _, r := range records {
		if r.Error != "" {
			rows = append(rows, []string{r.Target.Key(), "", "", "", "", "", a.term.Bad("unknown: " + r.Error)})
			continue
		}
		row := []string{r.Target.Key(), "", "", "", "", short(r.Key), a.term.Good("yes")}
		if ev := r.Evidence; ev != nil {
			row[1], row[2], row[3], row[4] = fmt.Sprint(r.Sequence), short(ev.Commit), ev.Run, term.Ago(time.Now(), r.Recorded)+" ago"
		}
		if !r.Believed {
			row[6] = a.term.Bad("no: ") + r.Refused
			if r.Evidence == nil {
				row[6] += a.term.Faint(" (" + r.Name + ")")
			}
		}
		rows = append(rows, row)
	}
	a.term.Table(rows...)
}

func (a *command) evidenceExportCommand() *cobra.Command {
	var env, hub string
	cmd := &cobra.Command{
		Use:   "export --env ENVIRONMENT --hub HUB FILE",
		Short: "Write the newest evidence for a hub to a file",
		Long: `Export writes the newest evidence that counts for a hub in an environment to a
file, or to standard output for "-": an in-toto statement in a DSSE envelope, as
it was signed. hubship and other tools can check it offline.`,
		Example: `  hubship evidence export --env staging --hub datahub datahub.json`,
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			if err := required(cmd, "env", "hub"); err != nil {
				return err
			}
			records, err := a.server().Evidence(cmd.Context(), env, hub)
			if err != nil {
				return err
			}
			var newest *model.EvidenceRecord
			for i, r := range records {
				if r.Error != "" {
					return fmt.Errorf("read the evidence of %s: %s", r.Target.Key(), r.Error)
				}
				if r.Believed && (newest == nil || r.Sequence > newest.Sequence) {
					newest = &records[i]
				}
			}
			if newest == nil {
				return model.RefusedBy(fmt.Errorf("no evidence for %s in %s counts", hub, env), "`hubship evidence` lists the records, and says why they do not count")
			}
			// On its way here it may have been laid out anew: an envelope has no
			// white space.
			var envelope bytes.Buffer
			if err := json.Compact(&envelope, newest.Envelope); err != nil {
				return fmt.Errorf("read the evidence of %s: %w", newest.Target.Key(), err)
			}
			if given[0] == "-" {
				a.term.Printf("%s", envelope.Bytes())
				return nil
			}
			if err := os.WriteFile(given[0], envelope.Bytes(), 0o644); err != nil { //nolint:gosec // it is meant to be shown around
				return fmt.Errorf("write the evidence: %w", err)
			}
			a.term.Note("record %d of %s, signed by key %s: %s", newest.Sequence, newest.Target.Key(), short(newest.Key), given[0])
			return nil
		},
	}
	a.envFlag(cmd, &env, "environment of the hub")
	a.hubFlag(cmd, &hub, "hub whose evidence to export")
	return cmd
}

// maxEvidenceFile bounds what is read of a file with evidence, in bytes.
const maxEvidenceFile = 2 << 20

func (a *command) evidenceVerifyCommand() *cobra.Command {
	var keyFile string
	cmd := &cobra.Command{
		Use:   "verify FILE --key PUBLIC-KEY",
		Short: "Check exported evidence, offline",
		Long: `Verify checks that a file is evidence signed with the key, complete and
unchanged, and prints everything it says. It contacts no server, so it cannot tell
whether a newer record or a halt has since replaced it. The exit code is 3 if the
evidence is not genuine, or if the verification did not pass.`,
		Example: `  hubship key export > hubship.pub
  hubship evidence verify datahub.json --key hubship.pub`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			if err := required(cmd, "key"); err != nil {
				return err
			}
			pem, err := os.ReadFile(keyFile)
			if err != nil {
				return model.Usage(fmt.Errorf("read the public key: %w", err), "`hubship key export` writes one")
			}
			key, err := attest.ParsePublic(pem)
			if err != nil {
				return err
			}
			envelope, err := a.readEvidence(given[0])
			if err != nil {
				return err
			}
			return a.checkEvidence(envelope, key)
		},
	}
	cmd.Flags().StringVar(&keyFile, "key", "", "file with the public key, as PEM")
	_ = cmd.MarkFlagFilename("key")
	return cmd
}

func (a *command) readEvidence(file string) ([]byte, error) {
	from := a.streams.In
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, model.Usage(fmt.Errorf("read the evidence: %w", err), "`hubship evidence export` writes it")
		}
		defer f.Close()
		from = f
	}
	raw, err := io.ReadAll(io.LimitReader(from, maxEvidenceFile))
	if err != nil {
		return nil, fmt.Errorf("read the evidence: %w", err)
	}
	return bytes.TrimSpace(raw), nil // an editor may have ended the line
}

// checkedEvidence is what "hubship evidence verify -o json" prints.
type checkedEvidence struct {
	Genuine   bool            `json:"genuine"`
	Refused   string          `json:"refused,omitempty"`
	Key       string          `json:"key,omitempty"`
	Namespace string          `json:"namespace,omitempty"`
	Release   string          `json:"release,omitempty"`
	Sequence  int64           `json:"sequence,omitempty"`
	Recorded  time.Time       `json:"recorded,omitzero"`
	Evidence  *model.Evidence `json:"evidence,omitempty"`
}

func (a *command) checkEvidence(envelope []byte, key attest.Public) error {
	e, keyID, err := attest.OpenEvidence(envelope, []attest.Public{key})
	var refusal *attest.Refusal
	switch {
	case err == nil && !e.Verified.Passed:
		err = errors.New("it is genuine, but the verification did not pass")
	case err != nil && !errors.As(err, &refusal):
		return err
	}
	out := checkedEvidence{Genuine: refusal == nil, Key: keyID}
	if refusal == nil {
		out.Namespace, out.Release, out.Sequence, out.Recorded, out.Evidence = e.Namespace, e.Release, e.Sequence, e.Recorded, &e.Evidence
	}
	var refused error
	if err != nil {
		out.Refused = err.Error()
		refused = model.RefusedBy(fmt.Errorf("the evidence is refused: %w", err), "export it again, and check that the key is the one that signed it: `hubship key list`")
	}
	if a.term.JSONOutput() {
		return errors.Join(a.term.JSON(out), refused)
	}
	if refusal != nil {
		return refused
	}
	a.term.Printf("%s  signed by key %s, record %d of the release, %s\n", a.term.Good("genuine"), short(keyID), e.Sequence, e.Recorded.Format(time.RFC3339))
	a.term.Printf("release      %s, release %s in namespace %s, cluster %s\n", e.Hub+"@"+e.Environment, e.Release, e.Namespace, e.Evidence.Cluster)
	a.term.Printf("made of      commit %s, process %s, shared inputs %s\n", short(e.Commit), short(e.Process), e.Shared)
	for _, b := range e.Images {
		a.term.Printf("image        %s  %s@%s\n", b.ID, b.Ref(), b.Digest)
	}
	for _, i := range e.Resolved.Images {
		a.term.Printf("image        %s@%s\n", i.Ref, i.Digest)
	}
	for _, c := range e.Resolved.Charts {
		a.term.Printf("chart        %s %s from %s, %s\n", c.Name, c.Version, c.Repository, c.Digest)
	}
	a.term.Printf("verified in  run %s, %s to %s\n", e.Run, e.Verified.Started.Format(time.RFC3339), e.Verified.Finished.Format(time.RFC3339))
	rows := [][]string{}
	for _, c := range e.Verified.Checks {
		how := a.term.Good("passed")
		if !c.Passed {
			how = a.term.Doubt("did not pass")
		}
		rows = append(rows, []string{"  " + c.Name, how, c.Duration.Round(time.Millisecond).String(), c.Detail})
	}
	a.term.Table(rows...)
	return refused
}
