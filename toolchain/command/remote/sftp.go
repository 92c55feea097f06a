package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/pkg/sftp"
)

// target is the other machine's file system.
type target struct {
	*sftp.Client
}

// withSFTP gives use the file system of the machine behind connection. When ctx
// ends, pending operations fail.
func withSFTP(ctx context.Context, connection *Connection, use func(*target) error) error {
	host, err := connection.dial(ctx)
	if err != nil {
		return err
	}
	defer host.close()
	defer context.AfterFunc(ctx, host.close)()

	// Concurrent writes are several times as fast. After a failure they may leave
	// a file with a hole, but then the copy as a whole has failed and is made anew.
	client, err := sftp.NewClient(host.Client, sftp.UseConcurrentWrites(true))
	if err != nil {
		return fmt.Errorf("cannot start SFTP: %w", err)
	}
	defer client.Close()
	if err := use(&target{client}); err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	return nil
}

// copyPath copies a local file or directory.
//
//	source | destination is a directory | does not exist       | is a file
//	dir    | destination/dir            | destination/dir      | error
//	dir/   | what is in dir             | what is in dir       | error
//	file   | destination/file           | destination          | overwritten
func (t *target) copyPath(source, destination string) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	if info.IsDir() {
		if !strings.HasSuffix(source, "/") {
			destination = path.Join(destination, filepath.Base(source))
		}
		return t.copyDir(source, destination)
	}
	isDir, err := t.isDir(destination)
	if err != nil {
		return err
	}
	if isDir {
		destination = path.Join(destination, filepath.Base(source))
	}
	return t.copyFile(source, destination)
}

func (t *target) copyDir(source, destination string) error {
	return fs.WalkDir(os.DirFS(source), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := path.Join(destination, name)
		if entry.IsDir() {
			return t.makeDir(to)
		}
		return t.copyFile(filepath.Join(source, name), to)
	})
}

func (t *target) copyFile(source, destination string) error {
	local, err := os.Open(source)
	if err != nil {
		return err
	}
	defer local.Close()
	return t.write(local, destination)
}

func (t *target) copyText(text, destination string) error {
	isDir, err := t.isDir(destination)
	if err != nil {
		return err
	}
	if isDir {
		return fmt.Errorf("remote path %s is a directory; for a text it must be a file, since a text has no name", destination)
	}
	return t.write(strings.NewReader(text), destination)
}

func (t *target) write(content io.Reader, destination string) error {
	if err := t.makeDir(path.Dir(destination)); err != nil {
		return err
	}
	remote, err := t.Create(destination)
	if err != nil {
		return fmt.Errorf("cannot write remote file %s: %w", destination, err)
	}
	_, err = remote.ReadFrom(content)
	if err = errors.Join(err, remote.Close()); err != nil {
		return fmt.Errorf("cannot write remote file %s: %w", destination, err)
	}
	return nil
}

func (t *target) makeDir(name string) error {
	if err := t.MkdirAll(name); err != nil {
		return fmt.Errorf("cannot make remote directory %s: %w", name, err)
	}
	return nil
}

func (t *target) isDir(name string) (bool, error) {
	info, err := t.Stat(name)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot look at remote path %s: %w", name, err)
	}
	return info.IsDir(), nil
}
