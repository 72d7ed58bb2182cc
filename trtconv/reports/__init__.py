"""What commands say: text for people, JSON for programs."""
