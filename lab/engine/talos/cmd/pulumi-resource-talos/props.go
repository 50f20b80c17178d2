package main

import (
	"encoding/json"
	"reflect"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"
)

// props are the properties of a resource as JSON has them: string, float64, bool, []any, props.
type props = map[string]any

const (
	// unknown stands for a string that is not known yet (sdk/go/common/resource/plugin/rpc.go).
	unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
	// signatureKey and secretSignature mark a secret value (sdk/go/common/resource/sig).
	signatureKey    = "4dabf18193072939515e22adb298388d"
	secretSignature = "1b47061264138c4ac30d75fd1eb44270"
)

// secret wraps an output so that the engine encrypts it in the state and hides it on the screen.
func secret(value any) props { return props{signatureKey: secretSignature, "value": value} }

// text is the string under key; empty when there is none or another type.
func text(p props, key string) string {
	s, _ := p[key].(string)
	return s
}

// child is the object under key; nil when there is none.
func child(p props, key string) props {
	c, _ := p[key].(props)
	return c
}

func flagOr(p props, key string, otherwise bool) bool {
	if b, ok := p[key].(bool); ok {
		return b
	}
	return otherwise
}

// list is the strings under key; ok is false when the list or one of its elements is not known yet.
func list(p props, key string) (out []string, ok bool) {
	if p[key] == unknown {
		return nil, false
	}
	elements, _ := p[key].([]any)
	for _, element := range elements {
		s, isString := element.(string)
		if s == unknown {
			return nil, false
		}
		if isString {
			out = append(out, s)
		}
	}
	return out, true
}

func hasUnknown(value any) bool {
	raw, err := json.Marshal(value)
	return err == nil && strings.Contains(string(raw), unknown)
}

func same(a, b any) bool { return reflect.DeepEqual(a, b) }

// wire makes a message of properties; JSON evens out Go's own slices and maps.
func wire(p props) (*structpb.Struct, error) {
	raw, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	out := &structpb.Struct{}
	return out, out.UnmarshalJSON(raw)
}
