package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// stage is the last stage of a Dockerfile.
type stage struct {
	copyTo     string // where the files of the stage before go
	user       string
	env        []string
	entrypoint []string
}

// parse reads the last stage of a Dockerfile and refuses what it could not do, so that an image made here is what
// the Dockerfile says or is not made.
func parse(text string) (stage, error) {
	var s stage
	from := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "" || line[0] == '#':
		case word == "FROM":
			s, from = stage{}, rest
		case from == "scratch":
			if err := s.apply(word, strings.TrimSpace(rest)); err != nil {
				return stage{}, err
			}
		}
	}
	if from != "scratch" || s.copyTo == "" || s.user == "" || len(s.entrypoint) == 0 {
		return stage{}, fmt.Errorf("the last stage has to be FROM scratch and say COPY, USER and ENTRYPOINT")
	}
	return s, nil
}

func (s *stage) apply(word, rest string) error {
	const copied = "--from=build /out/ /"
	switch {
	case word == "COPY" && strings.HasPrefix(rest, copied) && s.copyTo == "":
		s.copyTo = "/" + strings.TrimPrefix(rest, copied)
	case word == "USER":
		s.user = rest
	case word == "ENV" && strings.Contains(rest, "=") && !strings.ContainsAny(rest, " \"\\$"):
		s.env = append(s.env, rest)
	case word == "ENTRYPOINT" && json.Unmarshal([]byte(rest), &s.entrypoint) == nil:
	default:
		return fmt.Errorf("%s %s: made without a container engine an image can have one COPY %s…, USER, ENV NAME=VALUE and ENTRYPOINT [...]", word, rest, copied)
	}
	return nil
}
