package boot

import (
	"encoding/json"
	"slices"
)

// What Talos notes on the node object about the labels and annotations that it wrote (machinery, constants).
const (
	ownedLabels      = "talos.dev/owned-labels"
	ownedAnnotations = "talos.dev/owned-annotations"
)

type wantedMetadata struct{ labels, annotations map[string]string }

type nodeMetadata struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// patchMetadata returns the merge patch that brings the node object to what is wanted, nil if it is there already.
// As in Talos, a value that somebody else wrote is left alone, and what is ours and no longer wanted is removed.
func patchMetadata(now nodeMetadata, wanted wantedMetadata) ([]byte, error) {
	labels, ours, err := changes(now.Labels, wanted.labels, now.Annotations[ownedLabels])
	if err != nil {
		return nil, err
	}

	annotations, alsoOurs, err := changes(now.Annotations, wanted.annotations, now.Annotations[ownedAnnotations])
	if err != nil {
		return nil, err
	}

	for key, value := range map[string]string{ownedLabels: ours, ownedAnnotations: alsoOurs} {
		if before, ok := now.Annotations[key]; before != value && (ok || value != "[]") {
			annotations[key] = value
		}
	}

	if len(labels)+len(annotations) == 0 {
		return nil, nil
	}

	return json.Marshal(map[string]any{"metadata": map[string]any{"labels": labels, "annotations": annotations}})
}

// changes compares a map of the object with the wanted one; owned is the JSON list of the keys that are ours.
func changes(now, wanted map[string]string, owned string) (patch map[string]any, nowOwned string, err error) {
	var ours []string

	if owned != "" {
		if err := json.Unmarshal([]byte(owned), &ours); err != nil {
			return nil, "", err
		}
	}

	patch = map[string]any{}

	for key, value := range wanted {
		current, there := now[key]

		switch {
		case !there:
			patch[key] = value

			if !slices.Contains(ours, key) {
				ours = append(ours, key)
			}
		case current != value && slices.Contains(ours, key):
			patch[key] = value
		}
	}

	ours = slices.DeleteFunc(ours, func(key string) bool {
		if _, keep := wanted[key]; keep {
			return false
		}

		if _, there := now[key]; there {
			patch[key] = nil
		}

		return true
	})

	slices.Sort(ours)

	raw, err := json.Marshal(append([]string{}, ours...))

	return patch, string(raw), err
}
