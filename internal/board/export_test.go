package board

// OpenFor is Open with another time after which what is not said again is forgotten.
var OpenFor = open
