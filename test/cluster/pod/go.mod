module example.test/pod

go 1.24
