package wire_test

import (
	"fmt"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/wire"
)

func ExampleAppendKey() {
	fmt.Printf("% x\n", wire.AppendKey(nil, feature.Key{feature.StringValue("JFK"), feature.Int64Value(5)}))
	// Output: 04 03 4a 46 4b 01 0a
}

func ExampleAppendOrdered() {
	fmt.Printf("% x\n", wire.AppendOrdered(nil, feature.StringValue("a\x00b")))
	fmt.Printf("% x\n", wire.AppendOrdered(nil, feature.ListValue(feature.KindInt64, []feature.Value{feature.Int64Value(1)})))
	// Output:
	// 08 61 00 ff 62 00 00
	// 03 02 80 00 00 00 00 00 00 01 00
}

func ExampleParseGroup() {
	b := feature.NewBatch(&feature.Source{Name: "clicks", Columns: []feature.Field{{Name: "user", Type: feature.String}}})
	b.Append([]feature.Value{feature.StringValue("ann")})
	got, err := wire.ParseGroup(wire.AppendGroup(nil, b))
	fmt.Println(got.Source, got.Rows, got.Columns[0].Strs, err)
	// Output: clicks 1 [ann] <nil>
}
