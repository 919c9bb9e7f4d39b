module threadline/services

go 1.18
