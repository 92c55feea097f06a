package local

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/gobwas/glob"
	"github.com/pulumi/pulumi-go-provider/infer/types"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// collect adds the files that the command left in dir to results.
func (s *Settings) collect(dir string, results Results) (Results, error) {
	if s.AssetPaths != nil {
		assets, err := assetsIn(dir, *s.AssetPaths)
		if err != nil {
			return Results{}, fmt.Errorf("assetPaths: %w", err)
		}
		entries := make(map[string]types.AssetOrArchive, len(assets))
		for name, asset := range assets {
			entries[name] = types.AssetOrArchive{Asset: asset}
		}
		results.Assets = &entries
	}
	if s.ArchivePaths != nil {
		archive, err := archiveOf(dir, *s.ArchivePaths)
		if err != nil {
			return Results{}, fmt.Errorf("archivePaths: %w", err)
		}
		results.Archive = archive
	}
	return results, nil
}

func archiveOf(dir string, patterns []string) (*resource.Archive, error) {
	assets, err := assetsIn(dir, patterns)
	if err != nil {
		return nil, err
	}
	members := make(map[string]any, len(assets))
	for name, asset := range assets {
		members[name] = asset
	}
	return resource.NewAssetArchive(members)
}

func assetsIn(dir string, patterns []string) (map[string]*resource.Asset, error) {
	rules, err := parseRules(patterns)
	if err != nil {
		return nil, err
	}
	assets := map[string]*resource.Asset{}
	err = fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !selected(rules, name) {
			return err
		}
		assets[name], err = resource.NewPathAsset(path.Join(dir, name))
		return err
	})
	return assets, err
}

type rule struct {
	glob    glob.Glob
	exclude bool
}

func parseRules(patterns []string) ([]rule, error) {
	rules := make([]rule, 0, len(patterns))
	for _, pattern := range patterns {
		text, exclude := strings.CutPrefix(pattern, "!")
		compiled, err := glob.Compile(text, '/')
		if err != nil {
			return nil, fmt.Errorf("pattern %q: %w", pattern, err)
		}
		rules = append(rules, rule{compiled, exclude})
	}
	return rules, nil
}

// selected says whether the last rule that matches name includes it.
func selected(rules []rule, name string) bool {
	found := false
	for _, rule := range rules {
		if rule.glob.Match(name) {
			found = !rule.exclude
		}
	}
	return found
}
