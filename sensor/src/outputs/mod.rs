//! Destinations of alerts, one file each; every one reads the alert log through its own cursor.
