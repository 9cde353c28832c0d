package path

import "strings"

// CheckModule reports what is wrong with s as a module name, %system#module.
func CheckModule(s string) error {
	if len(s) > MaxModule {
		return bad(s, "a module name has at most %d bytes", MaxModule)
	}
	system, module, ok := strings.Cut(s, "#")
	if !ok || !strings.HasPrefix(system, "%") {
		return bad(s, "a module name is written %%system#module")
	}
	if err := checkPart(system[1:], "system name"); err != nil {
		return within(s, err)
	}
	if err := checkPart(module, "module name"); err != nil {
		return within(s, err)
	}
	return nil
}

// SystemOf is the system part, without its percent sign, of a module name that
// CheckModule accepts.
func SystemOf(module string) string {
	system, _, _ := strings.Cut(strings.TrimPrefix(module, "%"), "#")
	return system
}

// CheckShare reports what is wrong with s as the name of a share or group.
func CheckShare(s string) error { return checkPart(s, "share name") }

// IsShare reports whether s is written in the share form, share:rel>path: a
// colon comes before any >, and s does not begin as a path does.
func IsShare(s string) bool {
	if s == "" || strings.IndexByte("%#><.(", s[0]) >= 0 {
		return false
	}
	colon, gt := strings.IndexByte(s, ':'), strings.IndexByte(s, '>')
	return colon >= 0 && (gt < 0 || colon < gt)
}

// ParseShare reads the share form, which names the same file on every module.
// rel is empty when s names the share's directory itself. The last name of rel
// may be a star name.
func ParseShare(s string) (share, rel string, err error) {
	if len(s) > MaxPath {
		return "", "", bad(s, "it has %d bytes, %d are allowed", len(s), MaxPath)
	}
	if !IsShare(s) {
		return "", "", bad(s, "the share form is share:path")
	}
	share, rel, _ = strings.Cut(s, ":")
	if err := CheckShare(share); err != nil {
		return "", "", within(s, err)
	}
	if rel != "" {
		if err := checkRel(rel, true); err != nil {
			return "", "", within(s, err)
		}
	}
	return share, rel, nil
}
