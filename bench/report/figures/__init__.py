"""The figures, a file each: what is drawn is returned as a matplotlib figure, and `style.save`
writes it.
"""
