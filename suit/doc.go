// Package suit reads, checks, lists, writes and signs manifests for
// constrained devices: SUIT (draft-ietf-suit-manifest-37) and RIOT's older
// form of it (draft-09).
package suit
