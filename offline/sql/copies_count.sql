SELECT toInt64(count()), toInt64(countIf(conflict)) FROM copies FINAL WHERE source = {source:String} AND generation = {generation:UInt64}
