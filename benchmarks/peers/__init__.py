"""What ours is measured against, each with settings that equal ours but for the URL conf."""
