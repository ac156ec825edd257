"""What a measured claim is, the verdict that follows from its figures, its Markdown and its pictures.
May import the rig's times and the runtime's files.
Never measures.
"""
