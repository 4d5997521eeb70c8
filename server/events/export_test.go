package events

// Waiting counts the polls that wait for a tenant.
func (l *Log) Waiting(tenant string) int {
	l.tails.mu.Lock()
	defer l.tails.mu.Unlock()
	if own := l.tails.of[tenant]; own != nil {
		return own.watchers
	}
	return 0
}
