package vaultapi

import (
	"encoding/json"
	"errors"
	"strings"
)

// Thresholds are durations before an event, such as 7d,1d. A list is accepted where they are read; the string
// is what is written (contract OC-31).
type Thresholds string

// List gives the durations, each as text.
func (t Thresholds) List() []string {
	list := []string{}
	for _, s := range strings.Split(string(t), ",") {
		if s = strings.TrimSpace(s); s != "" {
			list = append(list, s)
		}
	}
	return list
}

// UnmarshalJSON reads the string or a list of strings.
func (t *Thresholds) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) == nil {
		*t = Thresholds(text)
		return nil
	}
	var list []string
	if json.Unmarshal(b, &list) != nil {
		return errors.New("must be a string such as 7d,1d, or a list of durations")
	}
	*t = Thresholds(strings.Join(list, ","))
	return nil
}
