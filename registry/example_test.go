package registry_test

import (
	"fmt"

	"github.com/lockstepfs/lockstep/registry"
)

func ExampleParse() {
	_, err := registry.Parse(map[string][]byte{"users.yaml": []byte(`kind: entity
name: user
key: [{name: user_id, type: int}]
---
kind: view
name: profile
entity: usr
source: profiles
features: []
`)})
	fmt.Println(err)
	// Output:
	// definitions: 4 errors
	//   users.yaml:3:29: key[0].type: unknown type "int": expected int64, float64, bool, string, timestamp, list<TYPE> or vector<LENGTH>; did you mean "int64"?
	//   users.yaml:7:9: entity: unknown entity "usr": did you mean "user"?
	//   users.yaml:8:9: source: unknown source "profiles": none is defined
	//   users.yaml:9:11: features: expected a list of features, got an empty list
}

func ExampleResolve() {
	defs, err := registry.Parse(map[string][]byte{"users.yaml": []byte(`kind: entity
name: user
key: [{name: user_id, type: int64}]
---
kind: source
name: profiles
columns: {user_id: int64, city: string, changed: timestamp}
event_time: changed
---
kind: view
name: profile
entity: user
source: profiles
features: [{name: city, latest: city, default: unknown}]
---
kind: service
name: offers
features: [profile, {view: profile, as: friend, keys: {user_id: friend_id}}]
`)})
	if err != nil {
		fmt.Println(err)
		return
	}
	cat, err := registry.Resolve(defs)
	if err != nil {
		fmt.Println(err)
		return
	}
	plan, err := cat.PlanService("offers")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(plan.Names, plan.Keys)
	// Output: [profile.city friend.city] [{user_id int64} {friend_id int64}]
}
