package helm

import (
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release/ready"
)

// notReady makes an UpgradeError of a wait that failed. An interrupted wait
// stays what it is.
func notReady(err error, prefix string) error {
	var failed *ready.Error
	if !errors.As(err, &failed) {
		return err
	}
	if failed.Err != nil {
		return err
	}
	return &model.UpgradeError{Err: fmt.Errorf("%snot ready: %s", prefix, failed.Reason), Log: failed.Details}
}

// flat is an error of several lines in one.
type flat struct{ error }

func (f flat) Error() string {
	return strings.ReplaceAll(strings.TrimSpace(f.error.Error()), "\n", "; ")
}

func (f flat) Unwrap() error { return f.error }

func oneLine(err error) error {
	if strings.Contains(err.Error(), "\n") {
		return flat{err}
	}
	return err
}

// explainApply adds what to do to errors of Helm and of the API server that
// say what is wrong, and not what to do about it.
func explainApply(err error) error {
	text := err.Error()
	switch {
	case conflict(err):
		return model.WithHint(err, "another program or person has set these fields: remove them from the chart, or have the other side give them up (`kubectl get OBJECT -o yaml --show-managed-fields` shows who owns what)")
	case strings.Contains(text, "invalid ownership metadata"):
		return model.WithHint(err, "the object exists and does not belong to this release: remove it, rename it in the chart, or hand it over with the annotations that the error names")
	case strings.Contains(text, "another operation (install/upgrade/rollback) is in progress"):
		return model.WithHint(err, "somebody is running helm on this release; try again when it has ended")
	case strings.Contains(text, "values don't meet the specifications of the schema"):
		return model.WithHint(err, "fix the values that the error names")
	case apierrors.IsForbidden(rootStatus(err)):
		return model.WithHint(err, "give the kubeconfig's user the permission that the error names")
	}
	return err
}

func conflict(err error) bool {
	return apierrors.IsConflict(rootStatus(err)) || strings.Contains(err.Error(), "conflict occurred while applying object")
}

// rootStatus finds the API server's answer in an error, or returns err.
func rootStatus(err error) error {
	var status *apierrors.StatusError
	if errors.As(err, &status) {
		return status
	}
	return err
}
