import sys
from pathlib import Path

# Test modules share trainer_files.py.
sys.path.insert(0, str(Path(__file__).parent))
