"""Meta graphs and graphs in files, without the nodes that only this process can run.

Nothing is imported here: `tf.saver` uses the exporter, and the importer makes `tf.saver`'s Saver.
"""
