"""What is installed, and how: the locks of all packages, and the script that installs them."""
