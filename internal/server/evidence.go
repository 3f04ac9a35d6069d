package server

import (
	"net/http"

	"github.com/hubship/hubship/internal/model"
)

// listEvidence answers with the records about releases.
func (s *Server) listEvidence(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	records, err := s.opts.Service.Evidence(r.Context(), q.Get("env"), q.Get("hub"))
	if err != nil {
		return err
	}
	if records == nil {
		records = []model.EvidenceRecord{} // [] is easier on its readers than null
	}
	writeJSON(w, http.StatusOK, records)
	return nil
}
