"""What MiniStack leaves out or answers wrongly and the lake needs: one file per seam, put in place by `local.emulator`.

MiniStack moves private names daily, so each seam first says which it uses (`pinned.Uses`), and start-up refuses when one has moved.
"""
